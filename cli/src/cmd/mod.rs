//! Commands made by hand: a file for each. None knows a resource; what there
//! is comes from the description.

mod action;
pub(crate) mod call;
mod capture;
mod choices;
mod completion;
mod conformance;
pub(crate) mod console;
mod context;
mod create;
mod curl;
mod delete;
mod describe;
mod explain;
pub(crate) mod get;
mod impact;
mod login;
pub(crate) mod operation;
mod proxy;
pub(crate) mod set;
mod version;

use crate::run::Entry;

/// All commands made by hand, in the order of the help.
pub(crate) const COMMANDS: &[Entry] = &[
    get::ENTRY,
    describe::ENTRY,
    create::ENTRY,
    set::ENTRY,
    delete::ENTRY,
    action::ENTRY,
    explain::ENTRY,
    curl::ENTRY,
    proxy::ENTRY,
    console::ENTRY,
    capture::ENTRY,
    conformance::ENTRY,
    login::LOGIN,
    login::LOGOUT,
    context::ENTRY,
    completion::ENTRY,
    version::ENTRY,
];
