//! Says before anything is registered what the platform will refuse, and why.
