use super::lexer::{Token, tokens};
use super::requirement::{Operator, Requirement, SelectorError};
use crate::objects::names;

/// Reads a selector string, after the grammar of `labels.Parse` in apimachinery 1.24.
pub(super) fn parse(selector: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { tokens: tokens(selector), next: 0 };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token::Word(_) | Token::Not => {
                let requirement = parser
                    .requirement()
                    .map_err(|SelectorError(text)| SelectorError(format!("unable to parse requirement: {text}")))?;
                requirements.push(requirement);
                match parser.take() {
                    Token::End => break,
                    Token::Comma if matches!(parser.peek(), Token::Word(_) | Token::Not) => {}
                    Token::Comma => return Err(parser.peek().instead_of("identifier after ','")),
                    other => return Err(other.instead_of("',' or 'end of string'")),
                }
            }
            Token::End => break,
            other => return Err(other.instead_of("!, identifier, or 'end of string'")),
        }
    }
    requirements.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(requirements)
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> Token {
        self.tokens.get(self.next).cloned().unwrap_or(Token::End)
    }

    fn take(&mut self) -> Token {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let mut token = self.take();
        let negated = token == Token::Not;
        if negated {
            token = self.take();
        }
        let Token::Word(key) = token else {
            return Err(token.instead_of("identifier"));
        };
        let problems = names::qualified_name(&key);
        if !problems.is_empty() {
            // The path is a nil pointer there, and shows as one.
            let text = format!("<nil>: Invalid value: {}: {}", names::quote(&key), problems.join("; "));
            return Err(SelectorError(text));
        }
        if negated {
            return Requirement::new(&key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, Vec::new());
        }
        let operator = self.take();
        match &operator {
            Token::Equals | Token::DoubleEquals => Requirement::new(&key, Operator::In, vec![self.exact_value()?]),
            Token::NotEquals => Requirement::new(&key, Operator::NotIn, vec![self.exact_value()?]),
            Token::GreaterThan => Requirement::new(&key, Operator::GreaterThan, vec![self.exact_value()?]),
            Token::LessThan => Requirement::new(&key, Operator::LessThan, vec![self.exact_value()?]),
            Token::Word(word) if word == "in" => Requirement::new(&key, Operator::In, self.values()?),
            Token::Word(word) if word == "notin" => Requirement::new(&key, Operator::NotIn, self.values()?),
            other => Err(other.instead_of("in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn exact_value(&mut self) -> Result<String, SelectorError> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.take() {
            Token::Word(value) => Ok(value),
            other => Err(other.instead_of("identifier")),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        let open = self.take();
        if open != Token::OpenParenthesis {
            return Err(SelectorError(format!("found '{}' expected: '('", open.literal())));
        }
        match self.peek() {
            Token::Word(_) | Token::Comma => {}
            Token::ClosedParenthesis => {
                self.take();
                return Ok(vec![String::new()]);
            }
            other => return Err(other.instead_of("',', ')' or identifier")),
        }
        let mut values = Vec::new();
        loop {
            match self.take() {
                Token::Word(value) => {
                    values.push(value);
                    match self.peek() {
                        Token::Comma => {}
                        Token::ClosedParenthesis => break,
                        other => return Err(other.instead_of("',' or ')'")),
                    }
                }
                Token::Comma => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.peek() {
                        Token::ClosedParenthesis => {
                            values.push(String::new());
                            break;
                        }
                        Token::Comma => {
                            self.take();
                            values.push(String::new());
                        }
                        _ => {}
                    }
                }
                other => return Err(other.instead_of("',', or identifier")),
            }
        }
        self.take();
        Ok(values)
    }
}

impl Token {
    fn instead_of(&self, expected: &str) -> SelectorError {
        SelectorError(format!("found '{}', expected: {expected}", self.literal()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_but_valid() {
        for (selector, canonical) in [
            ("a=", "a="),
            ("a in ()", "a="),
            ("a in (,x)", "a in (,x)"),
            ("a in (x,)", "a in (,x)"),
            (" a  =  b ,  !c ", "a=b,!c"),
            ("b=1,a=2", "a=2,b=1"),
            ("in in (notin)", "in=notin"),
        ] {
            let requirements = parse(selector).expect(selector);
            let text: Vec<String> = requirements.iter().map(ToString::to_string).collect();
            assert_eq!(text.join(","), canonical, "{selector}");
        }
    }

    #[test]
    fn refusals_have_the_servers_words() {
        for (selector, expected) in [
            ("=b", "found '=', expected: !, identifier, or 'end of string'"),
            ("a=b,", "found '', expected: identifier after ','"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in x", "unable to parse requirement: found 'x' expected: '('"),
            ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a=(", "unable to parse requirement: found '(', expected: identifier"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("!=b", "found '!=', expected: !, identifier, or 'end of string'"),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        ] {
            assert_eq!(parse(selector).expect_err(selector).to_string(), expected, "{selector}");
        }
    }
}
