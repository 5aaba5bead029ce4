// A whole recording with Node's http and a keep-alive agent.
// usage: node client.js SOCKET ID FILE
'use strict';
const fs = require('fs');
const http = require('http');

const [socketPath, id, file] = process.argv.slice(2);
const agent = new http.Agent({keepAlive: true, maxSockets: 1});

function api(method, path, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const text = body && JSON.stringify(body);
    if (text) {
      headers['Content-Type'] = 'application/json';
      headers['Content-Length'] = Buffer.byteLength(text);
    }
    const request = http.request({socketPath, agent, method, path, headers}, (reply) => {
      const parts = [];
      reply.on('data', (part) => parts.push(part));
      reply.on('error', reject);
      reply.on('end', () => {
        const data = Buffer.concat(parts);
        if (reply.statusCode >= 300) reject(new Error(`${method} ${path}: ${reply.statusCode} ${data}`));
        else resolve({reply, data});
      });
    });
    request.on('error', reject);
    request.end(text);
  });
}

(async () => {
  const recording = `/v1/recordings/${id}`;
  await api('POST', '/v1/recordings', {id, source: {test: {width: 320, height: 240}}});
  await api('GET', recording + '?wait=first_frame&timeout_ms=60000');
  await api('POST', recording + '/markers', {label: 'from Node', kind: 'chapter'});
  await api('POST', recording + '/stop', {wait_ready: true});
  const head = (await api('HEAD', recording + '/artifact')).reply.headers;
  const middle = Math.floor(head['content-length'] / 2);
  const first = await api('GET', recording + '/artifact', null, {Range: `bytes=0-${middle - 1}`});
  const second = await api('GET', recording + '/artifact', null, {Range: `bytes=${middle}-`});
  fs.writeFileSync(file, Buffer.concat([first.data, second.data]));
  agent.destroy();
})().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
