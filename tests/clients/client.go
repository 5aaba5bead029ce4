// A whole recording with Go's net/http.
// usage: go run client.go SOCKET ID FILE
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	log.SetFlags(0)
	socket, id, file := os.Args[1], os.Args[2], os.Args[3]
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	api := func(method, target, body, span string) ([]byte, http.Header) {
		request, err := http.NewRequest(method, "http://kinescope"+target, strings.NewReader(body))
		if err != nil {
			log.Fatal(err)
		}
		if body != "" {
			request.Header.Set("Content-Type", "application/json")
		}
		if span != "" {
			request.Header.Set("Range", "bytes="+span)
		}
		reply, err := client.Do(request)
		if err != nil {
			log.Fatal(err)
		}
		defer reply.Body.Close()
		data, err := io.ReadAll(reply.Body)
		if err != nil || reply.StatusCode >= 300 {
			log.Fatalf("%s %s: %s %v %s", method, target, reply.Status, err, data)
		}
		reply.Header.Set("Content-Length", fmt.Sprint(reply.ContentLength))
		return data, reply.Header
	}
	recording := "/v1/recordings/" + id
	api("POST", "/v1/recordings", `{"id":"`+id+`","source":{"test":{"width":320,"height":240}}}`, "")
	api("GET", recording+"?wait=first_frame&timeout_ms=60000", "", "")
	api("POST", recording+"/markers", `{"label":"from Go","kind":"chapter"}`, "")
	api("POST", recording+"/stop", `{"wait_ready":true}`, "")
	_, head := api("HEAD", recording+"/artifact", "", "")
	var size int64
	fmt.Sscan(head.Get("Content-Length"), &size)
	first, _ := api("GET", recording+"/artifact", "", fmt.Sprintf("0-%d", size/2-1))
	second, _ := api("GET", recording+"/artifact", "", fmt.Sprintf("%d-", size/2))
	if err := os.WriteFile(file, append(first, second...), 0o600); err != nil {
		log.Fatal(err)
	}
}
