"""Statistics over customer facts: frames in, frames out. No SQL, no clock; chance takes a seed."""
