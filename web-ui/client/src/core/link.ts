// What the page knows of its connection, and how it says so. Pure: the MQTT edge reports, the badge reads.

export type Phase = 'connecting' | 'open' | 'waiting';

export interface Link {
  phase: Phase;
  /** Page time of the newest position, ms; 0 before the first. */
  lastMessageMs: number;
  /** Page time at which the connection opened, ms. */
  openedMs: number;
  /** Page time of the next try, ms, while waiting. */
  nextTryMs: number;
  /** Whether there has been a connection before. */
  everOpen: boolean;
  /** The last thing that went wrong, in plain words. */
  error: string | undefined;
}

export type State = 'connecting' | 'live' | 'away' | 'reconnecting' | 'stale' | 'empty';

export interface Report {
  state: State;
  label: string;
  detail: string;
}

/** Positions come twice a second: five seconds without any is more than a slow network. */
const STALE_AFTER_MS = 5_000;

export function newLink(): Link {
  return {
    phase: 'connecting',
    lastMessageMs: 0,
    openedMs: 0,
    nextTryMs: 0,
    everOpen: false,
    error: undefined,
  };
}

/** `isAway` when no vehicle is in view, though the fleet reports. */
export function report(link: Link, nowMs: number, isAway = false): Report {
  const age = link.lastMessageMs > 0 ? nowMs - link.lastMessageMs : undefined;
  const aged = age === undefined ? 'no data yet' : `last data ${ago(age)}`;
  const because = link.error ? `${link.error}; ` : '';
  if (link.phase !== 'open') {
    const when =
      link.phase === 'waiting'
        ? `next try in ${Math.max(0, Math.ceil((link.nextTryMs - nowMs) / 1000))} s`
        : 'trying now';
    return link.everOpen || link.phase === 'waiting'
      ? { state: 'reconnecting', label: 'Reconnecting', detail: `${because}${aged}, ${when}` }
      : { state: 'connecting', label: 'Connecting', detail: 'waiting for the broker' };
  }
  const quiet = nowMs - Math.max(link.lastMessageMs, link.openedMs);
  if (quiet <= STALE_AFTER_MS) {
    if (isAway && link.lastMessageMs >= link.openedMs) {
      return { state: 'away', label: 'Live', detail: 'Move or zoom out the map to find the fleet' };
    }
    return link.lastMessageMs >= link.openedMs
      ? { state: 'live', label: 'Live', detail: aged }
      : { state: 'connecting', label: 'Connected', detail: 'waiting for the first vehicle' };
  }
  return age === undefined
    ? { state: 'empty', label: 'No vehicles', detail: 'connected, but no vehicle has reported yet' }
    : { state: 'stale', label: 'Stale', detail: `connected, ${aged}` };
}

export function ago(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 1.5) return 'just now';
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3_600)} h ago`;
}
