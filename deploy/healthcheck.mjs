// HEALTHCHECK of the image: 0 when /healthz of the app answers 200. Plain Node, so that the image needs no curl.
import { get } from 'node:http';

const port = Number(process.env.FLEXPUSH_HTTP_PORT ?? 8080);
const request = get({ host: '127.0.0.1', port, path: '/healthz', timeout: 2_000 }, (response) => {
  process.exit(response.statusCode === 200 ? 0 : 1);
});
request.once('timeout', () => process.exit(1));
request.once('error', () => process.exit(1));
