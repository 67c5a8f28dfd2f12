import { subjects } from '@flexpush/contracts';
import type { RegistryView } from '@flexpush/membership';
import { Controller, Inject } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { Registry } from './registry';
import type { Received } from './plain-json-codec';

/**
 * The registry's NATS edge. No queue group anywhere: each replica must hear every heartbeat, and when somebody asks
 * for the view the fastest replica answers, so that a frozen one cannot swallow the request.
 */
@Controller()
export class RegistryController {
  constructor(@Inject(Registry) private readonly registry: Registry) {}

  @EventPattern(subjects.gmsHeartbeat)
  heartbeat(@Payload() received: Received): void {
    this.registry.intake.take(received);
  }

  /** Own views come back here; they prove that this registry still hears. */
  @EventPattern(subjects.registryViewChanged)
  viewCameBack(@Payload() received: Received): void {
    this.registry.hearView(received);
  }

  @MessagePattern(subjects.registryView)
  view(): RegistryView {
    return this.registry.publisher.present();
  }
}
