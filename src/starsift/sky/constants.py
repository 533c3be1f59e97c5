"""Constants of nature in the units that starsift computes in."""

from astropy.constants import c

C = float(c.value)  # speed of light, m/s (exact)
C_KMS = float(c.to_value("km/s"))  # speed of light, km/s (exact)
