// Who is signed in.

import { api, holdCsrf, Problem, whenSignedOut } from '../lib/api.ts';
import type { Session, User } from '../lib/wire.ts';

type Stage = 'starting' | 'setup' | 'login' | 'in' | 'unreachable';

class SessionState {
  stage = $state<Stage>('starting');
  user = $state<User | null>(null);
  /** Whether the session ended while the page was in use. */
  ended = $state(false);

  get isAdministrator(): boolean {
    return this.user?.role === 'administrator';
  }

  get mayAudit(): boolean {
    return this.user?.role === 'administrator' || this.user?.role === 'auditor';
  }

  async start(): Promise<void> {
    whenSignedOut(() => {
      if (this.stage === 'in') this.ended = true;
      this.#out();
    });
    try {
      this.enter(await api.session());
    } catch (error) {
      await this.#ask(error);
    }
  }

  async #ask(error: unknown): Promise<void> {
    if (!(error instanceof Problem) || error.status !== 401) {
      this.stage = 'unreachable';
      return;
    }
    try {
      this.stage = (await api.setupNeeded()).needed ? 'setup' : 'login';
    } catch {
      this.stage = 'unreachable';
    }
  }

  enter(session: Session): void {
    holdCsrf(session.csrf);
    this.user = session.user;
    this.ended = false;
    this.stage = 'in';
  }

  async leave(): Promise<void> {
    await api.logout().catch(() => {});
    this.#out();
  }

  #out(): void {
    holdCsrf('');
    this.user = null;
    this.stage = 'login';
  }
}

export const session = new SessionState();
