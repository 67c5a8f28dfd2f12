export {
  createPushReceiver,
  type PushReceiver,
  type PushReceiverOptions,
  type Received,
} from './push-receiver';
export {
  parsePush,
  type ChatEvent,
  type EventPush,
  type Push,
  type TextPush,
  type TriggerPush,
} from './push';
export { createRefresher, type Refreshed, type Refresher, type RefresherOptions } from './refresher';
