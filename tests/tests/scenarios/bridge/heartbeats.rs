//! (to be told)
