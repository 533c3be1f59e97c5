// What the modules of the page share.

export const state = {
  session: null, // the server's answer at the start
  user: null,
  queue: null,
  outbox: null, // labels on their way to the server
  plots: null,
  rows: null,
  item: null, // the latest that was drawn
  seen: null, // the item that is painted: keys act on no other
  wanted: null, // position of the item, or of one on its way
  leaving: false, // labelled, and the next position is not known yet
  away: false, // the server does not answer
  active: 0, // time of the last key or click
  secondOpinion: false, // also spectra that others labelled
  upcoming: [], // leased positions, next first
  labelled: new Set(), // positions of this queue that this person labelled here
};
