/** Small line drawings, 24 x 24. */

const SVG = 'http://www.w3.org/2000/svg';

const PATHS = {
  add: 'M12 5v14M5 12h14',
  alert: 'M12 8v5M12 16.500v.01M10.300 4.300 2.900 17.500A2 2 0 0 0 4.600 20.500h14.800a2 2 0 0 0 1.700-3L13.700 4.300a2 2 0 0 0-3.400 0z',
  back: 'M15 5l-7 7 7 7',
  bell: 'M5 17.500c2.500-1.700 2.800-4.500 2.800-8a4.200 4.200 0 0 1 8.400 0c0 3.500.3 6.300 2.800 8zM12 3v2M10 21h4',
  chart: 'M4 4v16h16M8 15l3.500-4 3 2.500L20 7',
  chat: 'M20 12a7.500 7.500 0 0 1-11 6.600L4 20l1.400-4.600A7.500 7.500 0 1 1 20 12z',
  check: 'M5 12.500l4.500 4.500L19 7.500',
  checks: 'M2 12.500l4.500 4.500L16 7.500M11.500 16.500l.5.500L21.500 7.500',
  clock: 'M12 7v5l3 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z',
  close: 'M6 6l12 12M18 6L6 18',
  down: 'M12 5v14M6 13l6 6 6-6',
  group: 'M9 11.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20a6.500 6.500 0 0 1 13 0M16 4.800a3.500 3.500 0 0 1 0 6.400M18.500 14.600A6.500 6.500 0 0 1 21.500 20',
  info: 'M12 11v5M12 7.700v.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z',
  leave: 'M10 4H5v16h5M14 8l4 4-4 4M8.500 12H18',
  moon: 'M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z',
  search: 'M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500L20.500 20.500',
  send: 'M5 12L4 4.500l17 7.500-17 7.500z M5 12h8',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400',
  undo: 'M9 6L4.500 10.500 9 15M5 10.500h9a5 5 0 0 1 0 10h-3',
};

export function icon(name, size = 20) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [attribute, value] of Object.entries({ viewBox: '0 0 24 24', width: size, height: size, class: 'icon', 'aria-hidden': 'true' })) {
    svg.setAttribute(attribute, value);
  }
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}
