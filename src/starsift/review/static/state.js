// What the modules of the page share.

export const state = {
  session: null, // the server's answer at the start
  user: null,
  queue: null,
  columns: new Map(), // of the queue: name -> {kind, unit, description, group}
  selection: null, // {query, positions, places} of the part of the queue that is shown; null: all of it
  outbox: null, // labels on their way to the server
  plots: null,
  rows: null,
  gallery: null,
  saved: [], // numbers of events that this person's requests added, the latest last: what one undo takes back
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
