//! The grammar of `$filter`, from what binds least to what binds most: `or`,
//! `and`, `eq` and `ne`, `gt` `ge` `lt` `le`, `not`, parentheses.

use super::{
    Comparison, Expression, Fault, Sense,
    lexer::{self, Token},
};

/// How many characters an expression may have.
const MAX_LENGTH: usize = 4096;
/// How deep it may be nested.
const MAX_DEPTH: usize = 64;

pub(super) fn parse(text: &str) -> Result<Expression, Fault> {
    if text.chars().count() > MAX_LENGTH {
        let text = format!("it has more than {MAX_LENGTH} characters");
        return Err(Fault::new(MAX_LENGTH + 1, text));
    }
    let tokens = lexer::tokens(text)?;
    let end = text.chars().count() + 1;
    let mut parser = Parser { rest: &tokens, end, depth: 0 };
    let expression = parser.any()?;
    match parser.rest.first() {
        None => Ok(expression),
        Some((at, Token::Close)) => {
            Err(Fault::new(*at, "the parenthesis was never opened"))
        }
        Some((at, _)) => Err(Fault::new(*at, "an operator is missing here")),
    }
}

struct Parser<'a> {
    rest: &'a [(usize, Token)],
    /// Which character follows the last one.
    end: usize,
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Expression, Fault> {
        let mut terms = vec![self.all()?];
        while self.takes(&Token::Or) {
            terms.push(self.all()?);
        }
        Ok(one_or(terms, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, Fault> {
        let mut terms = vec![self.equality()?];
        while self.takes(&Token::And) {
            terms.push(self.equality()?);
        }
        Ok(one_or(terms, Expression::All))
    }

    fn equality(&mut self) -> Result<Expression, Fault> {
        self.comparison(|how| !how.is_order(), Self::relation)
    }

    fn relation(&mut self) -> Result<Expression, Fault> {
        self.comparison(Comparison::is_order, Self::negation)
    }

    /// A chain of comparisons, of which the left one binds more.
    fn comparison(
        &mut self,
        fits: fn(Comparison) -> bool,
        operand: fn(&mut Self) -> Result<Expression, Fault>,
    ) -> Result<Expression, Fault> {
        let mut left = operand(self)?;
        let mut links = 0;
        while let Some((at, Token::Compare(how))) = self.rest.first()
            && fits(*how)
        {
            let (at, how) = (*at, *how);
            self.advance();
            links += 1;
            if self.depth + links > MAX_DEPTH {
                return Err(too_deep(at));
            }
            left = Expression::Compare {
                at,
                left: Box::new(left),
                how,
                right: Box::new(operand(self)?),
                sense: Sense::Plain,
            };
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Expression, Fault> {
        let Some((at, Token::Not)) = self.rest.first() else {
            return self.primary();
        };
        let at = *at;
        self.advance();
        let what = self.nested(at, Self::negation)?;
        Ok(Expression::Not { at, what: Box::new(what) })
    }

    fn primary(&mut self) -> Result<Expression, Fault> {
        let Some((at, token)) = self.rest.first() else {
            return Err(Fault::new(self.end, "something is missing here"));
        };
        let at = *at;
        let expression = match token {
            Token::Property(path) => {
                Expression::Property { at, path: path.clone() }
            }
            Token::Literal(value) => {
                Expression::Literal { at, value: value.clone() }
            }
            Token::Open => {
                self.advance();
                let inner = self.nested(at, Self::any)?;
                if !matches!(self.rest.first(), Some((_, Token::Close))) {
                    let text = "the parenthesis is never closed";
                    return Err(Fault::new(at, text));
                }
                inner
            }
            _ => {
                let text = "a property, a value or '(' is missing here";
                return Err(Fault::new(at, text));
            }
        };
        self.advance();
        Ok(expression)
    }

    fn nested(
        &mut self,
        at: usize,
        inner: fn(&mut Self) -> Result<Expression, Fault>,
    ) -> Result<Expression, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        let expression = inner(self);
        self.depth -= 1;
        expression
    }

    fn takes(&mut self, wanted: &Token) -> bool {
        let found = self.rest.first().is_some_and(|(_, it)| it == wanted);
        if found {
            self.advance();
        }
        found
    }

    fn advance(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }
}

fn too_deep(at: usize) -> Fault {
    Fault::new(at, format!("it is nested more than {MAX_DEPTH} deep"))
}

fn one_or(
    mut terms: Vec<Expression>,
    many: fn(Vec<Expression>) -> Expression,
) -> Expression {
    match terms.pop() {
        Some(only) if terms.is_empty() => only,
        Some(last) => {
            terms.push(last);
            many(terms)
        }
        None => many(terms),
    }
}
