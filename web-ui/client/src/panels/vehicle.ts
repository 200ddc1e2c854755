// The followed vehicle, in words.

import type { Company } from '../core/companies';
import type { Position, Sighting } from '../core/decode';
import { ago } from '../core/link';
import { bearingTo, distanceM } from '../core/mercator';
import { count, duration, heading, kmh, metres } from '../core/words';
import { sign } from '../map/shapes';
import { h, iconButton, setText } from './dom';

export interface Followed {
  plate: string;
  /** Missing while the vehicle isn't on the map. */
  position: Sighting | Position | undefined;
  company: Company | undefined;
  ageMs: number;
  offline: boolean;
}

const FACTS = {
  load: 'On board',
  speed: 'Speed',
  heading: 'Heading',
  destination: 'Destination',
  eta: 'Arrival',
  trip: 'Trip',
  age: 'Last message',
};

type Fact = keyof typeof FACTS;

export class VehicleCard {
  readonly element: HTMLElement;
  #plate = h('h2', { class: 'plate' });
  #company = h('p', { class: 'company' });
  #state = h('p', { class: 'vehicle-state' });
  #facts = new Map<Fact, HTMLElement>();
  #list = h('dl', { class: 'facts' });
  #look = '';

  constructor(release: () => void) {
    for (const fact of Object.keys(FACTS) as Fact[]) {
      const value = h('dd');
      this.#facts.set(fact, value);
      this.#list.append(h('div', { 'data-fact': fact }, h('dt', {}, FACTS[fact]), value));
    }
    this.element = h(
      'aside',
      { class: 'card vehicle', 'aria-label': 'Followed vehicle', hidden: true },
      h(
        'header',
        {},
        h('div', {}, this.#plate, this.#company),
        iconButton('close', 'Stop following (Esc)', release),
      ),
      this.#state,
      this.#list,
    );
  }

  show(followed: Followed | undefined): void {
    this.element.hidden = followed === undefined;
    if (!followed) return;
    const { position, company } = followed;
    setText(this.#plate, followed.plate);
    const look = company ? `${company.name} ${company.color} ${company.shape}` : '';
    if (look !== this.#look) {
      this.#look = look;
      this.#company.replaceChildren(...(company ? [sign(company.shape, company.color), company.name] : []));
    }
    this.#list.hidden = position === undefined;
    setText(this.#state, stateOf(followed));
    this.#state.dataset.state = !position || followed.offline ? 'gone' : position.isHired ? 'hired' : 'free';
    if (position) this.#fill(position, followed.ageMs);
  }

  #fill(position: Sighting | Position, ageMs: number): void {
    // A map frame doesn't say where it goes; its own positions do, and they follow at once.
    const trip = 'destination' in position ? tripOf(position) : undefined;
    const facts: Record<Fact, string> = {
      load: loadOf(position),
      speed: kmh(position.speed),
      heading: `${Math.round(position.bearing) % 360}° ${heading(position.bearing)}`,
      destination: trip?.destination ?? '…',
      eta: trip?.eta ?? '…',
      trip: trip?.id ?? '…',
      age: ago(ageMs),
    };
    for (const [fact, element] of this.#facts) setText(element, facts[fact]);
  }
}

function stateOf({ plate, position, offline, ageMs }: Followed): string {
  if (!position) return `${plate} isn’t on the road. It is followed as soon as it reports.`;
  if (offline) return 'Offline';
  if (ageMs > 30_000) return 'Silent';
  const busy = position.kind === 'truck' ? 'Loaded' : 'Hired';
  const idle = position.kind === 'truck' ? 'Empty' : 'Free';
  return `${position.isHired ? busy : idle}, ${position.speed < 1 ? 'standing' : 'on its way'}`;
}

function tripOf({ current, destination, etaSeconds, tripId }: Position) {
  const away = `${metres(distanceM(current, destination))} ${heading(bearingTo(current, destination))}`;
  const arrives = new Date(Date.now() + etaSeconds * 1000);
  const clock = arrives.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return {
    destination: `${away}\n${destination.lat.toFixed(4)}, ${destination.lng.toFixed(4)}`,
    eta: etaSeconds > 0 ? `in ${duration(etaSeconds)}, ${clock}` : 'there',
    id: tripId,
  };
}

function loadOf({ kind, passengers, isHired }: Sighting): string {
  if (kind === 'truck') return isHired ? 'a load' : 'nothing';
  return passengers === 1 ? '1 passenger' : `${count(passengers)} passengers`;
}
