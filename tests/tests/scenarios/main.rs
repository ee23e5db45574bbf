//! The stories: real binaries, real sockets, one harness.

mod first_light;
