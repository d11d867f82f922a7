// The address of the page, kept in step with the browser's.

import { formatRoute, parseRoute, type Route } from '../lib/router.ts';

class RouteState {
  now = $state<Route>(parseRoute(location.hash));

  constructor() {
    addEventListener('hashchange', () => {
      this.now = parseRoute(location.hash);
    });
  }

  go(route: Exclude<Route, { view: 'missing' }>): void {
    location.hash = formatRoute(route);
  }

  /** Changes the address without a step in the history. */
  replace(route: Exclude<Route, { view: 'missing' }>): void {
    history.replaceState(null, '', formatRoute(route));
    this.now = route;
  }
}

export const route = new RouteState();
