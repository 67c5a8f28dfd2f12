import type { ChatResponse } from '@flexpush/contracts';
import { Pool } from 'undici';

/** Who a customer's program is in one chat. */
export interface ChatIdentity {
  readonly chatId: string;
  readonly userId: string;
  readonly secureKey: string;
  readonly alias: string;
}

export interface ChatAnswer {
  readonly httpStatus: number;
  readonly body: ChatResponse;
}

/** The customer's side of Chat API Version 2, as a web application would speak it. */
export class ChatClient {
  private readonly pool: Pool;

  constructor(
    baseUrl: string,
    private readonly service = 'support-web',
    connections = 64,
  ) {
    this.pool = new Pool(baseUrl, { connections, headersTimeout: 30_000, bodyTimeout: 30_000 });
  }

  /** Starts a chat; user data without the `userData[...]` around. */
  async requestChat(
    fields: Record<string, string>,
    userData: Record<string, string> = {},
  ): Promise<ChatAnswer> {
    const wrapped = Object.fromEntries(
      Object.entries(userData).map(([key, value]) => [`userData[${key}]`, value]),
    );
    return this.post('', { ...fields, ...wrapped });
  }

  async call(
    operation: string,
    identity: ChatIdentity,
    fields: Record<string, string> = {},
  ): Promise<ChatAnswer> {
    const { chatId, userId, secureKey, alias } = identity;
    return this.post(`/${chatId}/${operation}`, { userId, secureKey, alias, ...fields });
  }

  async close(): Promise<void> {
    await this.pool.destroy();
  }

  private async post(path: string, fields: Record<string, string>): Promise<ChatAnswer> {
    const { statusCode, body } = await this.pool.request({
      method: 'POST',
      path: `/genesys/2/chat/${this.service}${path}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(fields).toString(),
    });
    return { httpStatus: statusCode, body: (await body.json()) as ChatResponse };
  }
}

/** The identity that a reply to requestChat gives. */
export function identityOf({ body, httpStatus }: ChatAnswer): ChatIdentity {
  const { chatId, userId, secureKey, alias } = body;
  if (body.statusCode !== 0 || !userId || !secureKey || !alias) {
    throw new Error(
      `the chat could not be started: HTTP ${httpStatus} ${JSON.stringify(body.errors ?? body)}`,
    );
  }
  return { chatId, userId, secureKey, alias };
}

/** The page's user data for reliable pushes to an HTTP server. */
export function pushUserData(deviceId: string, more: Record<string, string> = {}): Record<string, string> {
  return {
    GCTI_Chat_PushSubscribe: 'true',
    GCTI_GMS_PushDeviceId: deviceId,
    GCTI_GMS_PushDeviceType: 'customhttp',
    GCTI_GMS_PushIncludePayload: 'true',
    GCTI_GMS_PushResend: 'true',
    ...more,
  };
}
