// What a screen reader is told: starts, ends and failures, never every per cent.

class Announcer {
  text = $state('');

  /** The same words twice are told twice: a space is added in turn. */
  say(text: string): void {
    this.text = this.text === text ? `${text}\u00a0` : text;
  }
}

export const announcer = new Announcer();
