/** As a trigger of the product looks on the wire (CONTRACT 3.4). */
export function triggerBody(trigger: {
  n: number;
  attempt: number;
  deviceId: string;
  sessionId?: string;
}): string {
  const { n, attempt, deviceId, sessionId } = trigger;
  return JSON.stringify({
    message: {
      secureKey: 'Q2hhbmdlTWVOb3RSZWFsS2V5QnV0TG9uZ0Jhc2U2NENoYW5nZU1lTm90UmVhbEtleQ==',
      chatId: 'deprecated',
      nextPosition: n,
      messages: [
        {
          from: { nickname: '', participantId: 0, type: 'Client' },
          index: 0,
          text: 'PUSH-NOTIFICATION',
          type: 'PushUrl',
          utcTime: Math.floor(Date.now() / 1000) * 1000,
          userData: {
            'notify-attempt': String(attempt),
            'notify-position': String(n),
            ...(sessionId === undefined ? {} : { 'user-id': '00A1653C92D4000F', 'session-id': sessionId }),
          },
        },
      ],
      alias: '0',
      chatEnded: false,
      userId: 'deprecated',
      statusCode: 0,
      monitored: false,
    },
    deviceId,
  });
}
