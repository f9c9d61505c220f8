//! `$filter`: which members of a collection are wanted (DSP0266, "The $filter
//! query parameter").

mod check;
mod evaluate;
mod lexer;
#[cfg(test)]
pub(super) mod model;
mod parser;

use onprem_redfish::csdl::Type;
use serde_json::{Map, Number, Value};

/// Something in an expression that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Which character it begins at, from 1.
    pub(super) at: usize,
    /// What is wrong with it.
    pub(super) text: String,
}

impl Fault {
    fn new(at: usize, text: impl Into<String>) -> Self {
        Self { at, text: text.into() }
    }
}

/// A condition on the members of a collection.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filter {
    expression: Expression,
}

#[derive(Debug, Clone, PartialEq)]
enum Expression {
    /// True where one of them is.
    Any(Vec<Self>),
    /// True where all of them are.
    All(Vec<Self>),
    Not {
        at: usize,
        what: Box<Self>,
    },
    Compare {
        at: usize,
        left: Box<Self>,
        how: Comparison,
        right: Box<Self>,
        sense: Sense,
    },
    Property {
        at: usize,
        path: Vec<String>,
    },
    Literal {
        at: usize,
        value: Literal,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Text(String),
    Number(Number),
    Boolean(bool),
    Null,
}

/// What texts mean when they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    /// Themselves.
    Plain,
    /// Points in time.
    Time,
    /// Lengths of time.
    Duration,
    /// UUIDs, in which the case of letters does not count.
    Uuid,
}

impl Filter {
    /// Reads an expression.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        parser::parse(text).map(|expression| Self { expression })
    }

    /// The same, once it is known what the members are.
    pub(super) fn of_members(
        mut self,
        of: Option<&Type>,
    ) -> Result<Self, Fault> {
        check::check(&mut self.expression, of)?;
        Ok(self)
    }

    /// Is `member` wanted?
    pub(super) fn admits(&self, member: &Map<String, Value>) -> bool {
        evaluate::truth(&self.expression, member) == Some(true)
    }
}
