#!/usr/bin/python3
"""A whole recording with Python's http.client over one connection.

usage: client.py SOCKET ID FILE
"""
import http.client, json, socket, sys

path, recording, file = sys.argv[1:]


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)


connection = Connection('kinescope')


def api(method, target, body=None, **headers):
    headers = {k.replace('_', '-'): v for k, v in headers.items()}
    if body is not None:
        body = json.dumps(body)
        headers['Content-Type'] = 'application/json'
    connection.request(method, target, body, headers)
    reply = connection.getresponse()
    data = reply.read()
    if reply.status >= 300:
        sys.exit(f'{method} {target}: {reply.status} {data.decode()}')
    return reply, data


this = f'/v1/recordings/{recording}'
api('POST', '/v1/recordings', {'id': recording, 'source': {'test': {'width': 320, 'height': 240}}})
api('GET', this + '?wait=first_frame&timeout_ms=60000')
api('POST', this + '/markers', {'label': 'from Python', 'kind': 'chapter'})
api('POST', this + '/stop', {'wait_ready': True})
head, _ = api('HEAD', this + '/artifact')
size = int(head.headers['Content-Length'])
with open(file, 'wb') as out:
    for first in range(0, size, size // 3):
        part, data = api('GET', this + '/artifact', Range=f'bytes={first}-{first + size // 3 - 1}',
                         If_Range=head.headers['ETag'])
        assert part.status == 206, part.status
        out.write(data)
