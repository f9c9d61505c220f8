//! The DMTF Redfish schemas, compiled: typed resources, rules for writes, privileges, messages.
