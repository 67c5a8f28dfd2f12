import { originsProblem } from './option-problems';
import type { OptionSpec } from './option-spec';

/** Options of chat services: `chat` for all of them, `chat.<service>` for one (CONTRACT 3.7). */
export const chatServiceOptions: readonly OptionSpec[] = [
  {
    sections: ['chat', 'chat.*'],
    name: 'push_notification_include_payload',
    type: { kind: 'boolean' },
    default: 'false',
    since: '8.5.201.04',
    readBy: ['fold'],
    meaning:
      'Puts the chat event into plain customhttp notifications. A section chat.<service> wins over chat.',
  },
  {
    // The original has it in section push (CONTRACT 3.1).
    sections: ['chat', 'chat.*', 'push'],
    name: 'filtering_chat_events',
    type: {
      kind: 'subset',
      of: ['typing', 'notice', 'url', 'file', 'message', 'join', 'leave', 'nickname', 'idle'],
    },
    default: 'typing',
    since: 'flexpush 0.1',
    readBy: ['fold'],
    meaning:
      'Kinds of chat events that cause no push. A section chat.<service> wins over chat, and chat over push.',
  },
  {
    sections: ['chat', 'chat.*'],
    name: 'push_notification_to_active_client',
    type: { kind: 'boolean' },
    default: 'false',
    since: '8.5.1',
    readBy: ['fold'],
    meaning: 'Pushes to the device of a CometD client also while that is connected.',
  },
  {
    sections: ['chat'],
    name: 'default_chat_endpoint',
    type: { kind: 'text', maxChars: 255 },
    default: 'Environment:default',
    since: '8.5.1',
    readBy: ['fold'],
    meaning:
      'Where chats are to be routed, as tenant:endpoint; set, it is kept as user data _chat_endpoint of each new chat that names none.',
  },
  {
    sections: ['chat.*'],
    name: '_chat_endpoint',
    type: { kind: 'text', maxChars: 255 },
    since: '8.5.1',
    readBy: ['fold'],
    meaning: 'As default_chat_endpoint, for one service.',
  },
  {
    sections: ['chat'],
    name: 'enable_notification_mode',
    type: { kind: 'boolean' },
    default: 'false',
    since: '8.5.109.05',
    readBy: ['chat-api'],
    meaning:
      'CometD clients may connect; pushEnabled must contain comet as well. Those that are connected stay when it is switched off.',
  },
  {
    sections: ['chat'],
    name: 'cors-origins',
    type: { kind: 'text', maxChars: 4_096 },
    default: '',
    since: 'flexpush 0.1',
    readBy: ['chat-api'],
    problem: originsProblem,
    meaning:
      'Origins, separated by commas, whose pages may call the Chat API with cookies, as https://www.example.org; * stands for all others, without cookies.',
  },
];
