//! agent-connector
