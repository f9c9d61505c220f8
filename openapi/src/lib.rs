//! The client of the on-prem fleet API, made from its OpenAPI document.
