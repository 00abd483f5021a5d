/// What a selector string is made of. The words `in` and `notin` are operators only where one may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    End,
    Comma,
    OpenParenthesis,
    ClosedParenthesis,
    Equals,
    DoubleEquals,
    NotEquals,
    Not,
    GreaterThan,
    LessThan,
    Word(String),
    Unknown(String),
}

impl Token {
    /// The token as the parser quotes it in its messages.
    pub(super) fn literal(&self) -> &str {
        match self {
            Self::End => "",
            Self::Comma => ",",
            Self::OpenParenthesis => "(",
            Self::ClosedParenthesis => ")",
            Self::Equals => "=",
            Self::DoubleEquals => "==",
            Self::NotEquals => "!=",
            Self::Not => "!",
            Self::GreaterThan => ">",
            Self::LessThan => "<",
            Self::Word(text) | Self::Unknown(text) => text,
        }
    }
}

/// Cuts a selector string into tokens; the last one is [`Token::End`].
pub(super) fn tokens(selector: &str) -> Vec<Token> {
    let is_symbol = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut rest = selector;
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(is_space);
        let Some(first) = rest.chars().next() else {
            found.push(Token::End);
            return found;
        };
        let length = if is_symbol(first) {
            let run = rest.find(|c| !is_symbol(c)).unwrap_or(rest.len());
            // The longest known symbol at the front; apimachinery's lexer reads the same way.
            let (token, length) = if rest.starts_with("==") {
                (Token::DoubleEquals, 2)
            } else if rest.starts_with("!=") {
                (Token::NotEquals, 2)
            } else {
                match first {
                    '=' => (Token::Equals, 1),
                    '!' => (Token::Not, 1),
                    '(' => (Token::OpenParenthesis, 1),
                    ')' => (Token::ClosedParenthesis, 1),
                    ',' => (Token::Comma, 1),
                    '>' => (Token::GreaterThan, 1),
                    '<' => (Token::LessThan, 1),
                    _ => (Token::Unknown(rest[..run].to_owned()), run),
                }
            };
            found.push(token);
            length
        } else {
            let length = rest.find(|c| is_symbol(c) || is_space(c)).unwrap_or(rest.len());
            found.push(Token::Word(rest[..length].to_owned()));
            length
        };
        rest = &rest[length..];
    }
}
