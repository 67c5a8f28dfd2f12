import type { Channel, HttpChannelOptions } from './channel';
import type { HttpConnection } from './connection';
import { Http1Channel } from './http1-channel';
import { ProxyChannel } from './proxy-channel';

/** The way to a web server. Redirects are not followed. */
export function openHttpChannel(to: HttpConnection, options: HttpChannelOptions): Channel {
  const { proxy, ...direct } = to;
  return proxy === undefined
    ? new Http1Channel(direct, options)
    : new ProxyChannel({ ...to, proxy }, options);
}
