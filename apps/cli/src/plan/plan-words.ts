import { bytes, counted } from '../doctor/finding';
import type { CapacityPlan } from './capacity-plan';
import type { ServiceKind, ServicePlan } from './service-plan';

/** Rates as people say them: whole from 10 on, at most three figures above a million. */
export function rate(perS: number): string {
  if (perS >= 1e6) return `${Number((perS / 1e6).toFixed(1))} million`;
  return (perS >= 10 || perS === 0 ? Math.round(perS) : Number(perS.toPrecision(2))).toLocaleString('en');
}

export function whole(count: number): string {
  return Math.round(count).toLocaleString('en');
}

export function cores(count: number): string {
  return count >= 10 ? whole(count) : String(Number(count.toFixed(count < 1 ? 2 : 1)));
}

export function perSecond(byteCount: number): string {
  return `${bytes(byteCount)}/s`;
}

export function serviceOf(plan: CapacityPlan, kind: ServiceKind): ServicePlan {
  const found = plan.services.find((service) => service.kind === kind);
  if (found === undefined) throw new Error(`the plan has no ${kind}`);
  return found;
}

/** `1 master, 1 replica`. */
export function redisWords({ redis: { masters, replicasEach } }: CapacityPlan): string {
  return `${counted(masters, 'master')}, ${counted(masters * replicasEach, 'replica')}`;
}

/** What the arrows of both pictures say. */
export function arrowsOf(plan: CapacityPlan): Record<Arrow, string> {
  const { flows, postsPerS, nats } = plan;
  return {
    refreshes: `${rate(flows.refresh)} refreshes/s`,
    events: `${rate(flows.event)} events/s`,
    requests: `${rate(flows.refresh)} records/s`,
    records: `${rate(nats.leaderPerS)} records/s`,
    commits: `${rate(nats.leaderPerS)} folded/s`,
    timers: `${rate(flows.resend + flows.fire)} timers/s`,
    jobs: `${rate(postsPerS)} pushes/s`,
    posts: `${rate(postsPerS)} POSTs/s`,
  };
}

export type Arrow = 'refreshes' | 'events' | 'requests' | 'records' | 'commits' | 'timers' | 'jobs' | 'posts';
