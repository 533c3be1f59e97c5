"""Where and when spectra are taken: sites of telescopes, and the velocities that come with them."""
