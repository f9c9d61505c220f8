//! The fleet's OpenAPI document with its presentation facts, read as a page model.
