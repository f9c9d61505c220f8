//! The words of a `$filter` expression.

use chrono::DateTime;
use serde_json::Number;

use super::{Comparison, Fault, Literal};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Compare(Comparison),
    Literal(Literal),
    Property(Vec<String>),
}

/// The tokens of `text`, with the character each begins at, from 1.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Fault> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut rest = characters.as_slice();
    while let [first, tail @ ..] = rest {
        let at = characters.len() - rest.len() + 1;
        let (token, after) = match first {
            ' ' | '\t' => {
                rest = tail;
                continue;
            }
            '(' => (Token::Open, tail),
            ')' => (Token::Close, tail),
            '\'' => quoted(tail, at)?,
            '-' | '0'..='9' => number(rest, at)?,
            _ if is_of_word(*first) => word(rest, at)?,
            other => {
                let text = format!("the character '{other}' has no meaning");
                return Err(Fault::new(at, text));
            }
        };
        tokens.push((at, token));
        rest = after;
    }
    Ok(tokens)
}

/// A text up to its closing quote; two quotes in it stand for one.
fn quoted(mut rest: &[char], at: usize) -> Result<(Token, &[char]), Fault> {
    let mut text = String::new();
    loop {
        match rest {
            ['\'', '\'', tail @ ..] => {
                text.push('\'');
                rest = tail;
            }
            ['\'', tail @ ..] => {
                return Ok((Token::Literal(Literal::Text(text)), tail));
            }
            [other, tail @ ..] => {
                text.push(*other);
                rest = tail;
            }
            [] => return Err(Fault::new(at, "the text has no closing quote")),
        }
    }
}

/// A number, or a point in time without quotes.
fn number(rest: &[char], at: usize) -> Result<(Token, &[char]), Fault> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "+-.:".contains(c);
    let (text, after) = span(rest, inside);
    let literal = match serde_json::from_str::<Number>(&text) {
        Ok(number) => Literal::Number(number),
        Err(_) if DateTime::parse_from_rfc3339(&text).is_ok() => {
            Literal::Text(text)
        }
        Err(_) => {
            return Err(Fault::new(at, format!("'{text}' is no number")));
        }
    };
    Ok((Token::Literal(literal), after))
}

fn word(rest: &[char], at: usize) -> Result<(Token, &[char]), Fault> {
    let (text, after) = span(rest, is_of_word);
    let token = match text.as_str() {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        "eq" => Token::Compare(Comparison::Equal),
        "ne" => Token::Compare(Comparison::NotEqual),
        "gt" => Token::Compare(Comparison::Greater),
        "ge" => Token::Compare(Comparison::GreaterOrEqual),
        "lt" => Token::Compare(Comparison::Less),
        "le" => Token::Compare(Comparison::LessOrEqual),
        "true" => Token::Literal(Literal::Boolean(true)),
        "false" => Token::Literal(Literal::Boolean(false)),
        "null" => Token::Literal(Literal::Null),
        path => {
            let path: Vec<_> = path.split('/').map(str::to_owned).collect();
            if path.iter().any(String::is_empty) {
                let text = format!("'{text}' lacks a name beside a slash");
                return Err(Fault::new(at, text));
            }
            Token::Property(path)
        }
    };
    Ok((token, after))
}

/// May it be part of the path of a property?
fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_@./#".contains(c)
}

fn span(rest: &[char], inside: fn(char) -> bool) -> (String, &[char]) {
    let end = rest.iter().position(|c| !inside(*c)).unwrap_or(rest.len());
    let (text, after) = rest.split_at(end);
    (text.iter().collect(), after)
}
