use serde_json::Value;

use super::JsonPathError;

/// A piece of a template.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Text(String),
    Path(Path),
    Range(Path, Vec<Part>),
}

/// A path: where it starts, and its steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    pub(super) from_root: bool,
    pub(super) steps: Vec<Step>,
}

/// One step of a path.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Field(String),
    Fields(Vec<String>),
    Wildcard,
    Recursive,
    Indices(Vec<i64>),
    Slice { from: Option<i64>, to: Option<i64>, step: i64 },
    Filter { left: Operand, operator: String, right: Operand },
}

/// A side of a filter's comparison.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    Path(Path),
    Literal(Value),
    Nothing,
}

/// Filters inside filters are read only so deep.
const DEPTH: usize = 16;

/// Reads a template.
pub(super) fn template(text: &str) -> Result<Vec<Part>, JsonPathError> {
    // The innermost open range is at the end; the first entry is the template itself.
    let mut open: Vec<(Path, Vec<Part>)> = vec![(Path::default(), Vec::new())];
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        push(&mut open, Part::Text(rest[..start].to_owned()));
        let end = closing_brace(&rest[start + 1..]).ok_or(JsonPathError::UnclosedAction)?;
        let action = rest[start + 1..=start + end].trim();
        rest = &rest[start + end + 2..];
        if action == "end" {
            if open.len() < 2 {
                return Err(JsonPathError::UnbalancedRange);
            }
            if let Some((path, body)) = open.pop() {
                push(&mut open, Part::Range(path, body));
            }
        } else if let Some(range) = action.strip_prefix("range ") {
            open.push((path(range.trim(), 0)?, Vec::new()));
        } else if action.starts_with(['"', '\'']) {
            push(&mut open, Part::Text(quoted(action)?.0));
        } else {
            push(&mut open, Part::Path(path(action, 0)?));
        }
    }
    push(&mut open, Part::Text(rest.to_owned()));
    match open.pop() {
        Some((_, parts)) if open.is_empty() => Ok(parts),
        _ => Err(JsonPathError::UnbalancedRange),
    }
}

fn push(open: &mut [(Path, Vec<Part>)], part: Part) {
    if matches!(&part, Part::Text(text) if text.is_empty()) {
        return;
    }
    if let Some((_, parts)) = open.last_mut() {
        parts.push(part);
    }
}

/// Where the action ends: at the first brace outside quotes.
fn closing_brace(text: &str) -> Option<usize> {
    scan(text, |c, depth| c == '}' && depth == 0)
}

/// The first place outside quotes that `ends` accepts, given the character and the depth of parentheses.
fn scan(text: &str, ends: impl Fn(char, usize) -> bool) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) => {
                if c == open {
                    quote = None;
                }
            }
            None if ends(c, depth) => return Some(at),
            None => match c {
                '"' | '\'' => quote = Some(c),
                '(' | '[' => depth += 1,
                ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            },
        }
    }
    None
}

/// Reads a path such as `.spec.ports[0]`.
fn path(text: &str, depth: usize) -> Result<Path, JsonPathError> {
    if depth > DEPTH {
        return Err(JsonPathError::Unrecognized(text.to_owned()));
    }
    let mut path = Path::default();
    let mut rest = text;
    if let Some(tail) = rest.strip_prefix('$') {
        path.from_root = true;
        rest = tail;
    } else if let Some(tail) = rest.strip_prefix('@') {
        rest = tail;
    }
    while let Some(first) = rest.chars().next() {
        match first {
            '.' if rest.starts_with("..") => {
                path.steps.push(Step::Recursive);
                rest = &rest[2..];
                if !rest.is_empty() && !rest.starts_with('[') && !rest.starts_with('.') {
                    rest = field(rest, &mut path)?;
                }
            }
            '.' => {
                rest = &rest[1..];
                if !rest.is_empty() && !rest.starts_with('[') {
                    rest = field(rest, &mut path)?;
                }
            }
            '[' => {
                let inner = &rest[1..];
                let end = scan(inner, |c, depth| c == ']' && depth == 0).ok_or(JsonPathError::UnterminatedArray)?;
                path.steps.push(brackets(inner[..end].trim(), depth)?);
                rest = &inner[end + 1..];
            }
            c if c.is_whitespace() => rest = rest.trim_start(),
            c if (c.is_alphanumeric() || c == '_') && path.steps.is_empty() => rest = field(rest, &mut path)?,
            c => return Err(JsonPathError::Unrecognized(format!("U+{:04X} '{c}'", c as u32))),
        }
    }
    Ok(path)
}

/// Reads a field's name up to the next step; a backslash takes the next character as it is.
fn field<'a>(text: &'a str, path: &mut Path) -> Result<&'a str, JsonPathError> {
    if let Some(rest) = text.strip_prefix('*') {
        path.steps.push(Step::Wildcard);
        return Ok(rest);
    }
    let mut name = String::new();
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' | ']' | '{' | '}' | '(' | ')' | '"' | '\'' | '=' | '!' | '<' | '>' | '@' | '$' | ',' => {
                end = at;
                break;
            }
            c if c.is_whitespace() => {
                end = at;
                break;
            }
            c => name.push(c),
        }
    }
    if name.is_empty() {
        let c = text.chars().next().unwrap_or(' ');
        return Err(JsonPathError::Unrecognized(format!("U+{:04X} '{c}'", c as u32)));
    }
    path.steps.push(Step::Field(name));
    Ok(&text[end..])
}

/// Reads what stands between brackets.
fn brackets(text: &str, depth: usize) -> Result<Step, JsonPathError> {
    if text == "*" {
        return Ok(Step::Wildcard);
    }
    if let Some(filter) = text.strip_prefix("?(") {
        let filter = filter.strip_suffix(')').ok_or(JsonPathError::UnterminatedFilter)?;
        return comparison(filter, depth + 1);
    }
    if text.starts_with(['"', '\'']) {
        let mut names = Vec::new();
        let mut rest = text;
        loop {
            let (name, tail) = quoted(rest)?;
            names.push(name);
            match tail.trim_start().strip_prefix(',') {
                Some(tail) => rest = tail.trim_start(),
                None if tail.trim().is_empty() => return Ok(Step::Fields(names)),
                None => return Err(JsonPathError::InvalidIndex(text.to_owned())),
            }
        }
    }
    let number = |text: &str| -> Result<Option<i64>, JsonPathError> {
        match text.trim() {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| JsonPathError::InvalidIndex(text.to_owned())),
        }
    };
    if text.contains(':') {
        let bounds: Vec<Option<i64>> = text.split(':').map(number).collect::<Result<_, _>>()?;
        let step = bounds.get(2).copied().flatten().unwrap_or(1);
        if bounds.len() > 3 || step < 1 {
            return Err(JsonPathError::InvalidIndex(text.to_owned()));
        }
        return Ok(Step::Slice { from: bounds[0], to: bounds.get(1).copied().flatten(), step });
    }
    let indices = text.split(',').map(|part| number(part)?.ok_or_else(|| JsonPathError::InvalidIndex(text.to_owned())));
    Ok(Step::Indices(indices.collect::<Result<_, _>>()?))
}

/// Reads a filter: a path alone, or two sides and an operator.
fn comparison(text: &str, depth: usize) -> Result<Step, JsonPathError> {
    let at = scan(text, |c, depth| depth == 0 && matches!(c, '=' | '!' | '<' | '>'));
    let Some(at) = at else {
        return Ok(Step::Filter {
            left: operand(text, depth)?,
            operator: "exists".to_owned(),
            right: Operand::Nothing,
        });
    };
    let length = if text[at + 1..].starts_with('=') { 2 } else { 1 };
    Ok(Step::Filter {
        left: operand(&text[..at], depth)?,
        operator: text[at..at + length].to_owned(),
        right: operand(&text[at + length..], depth)?,
    })
}

fn operand(text: &str, depth: usize) -> Result<Operand, JsonPathError> {
    let text = text.trim();
    if text.starts_with(['"', '\'']) {
        return Ok(Operand::Literal(quoted(text)?.0.into()));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(literal @ (Value::Number(_) | Value::Bool(_))) => Ok(Operand::Literal(literal)),
        _ => Ok(Operand::Path(path(text, depth)?)),
    }
}

/// Reads a quoted string at the front; gives it and what follows.
fn quoted(text: &str) -> Result<(String, &str), JsonPathError> {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else { return Err(JsonPathError::UnterminatedString) };
    let mut found = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 'n')) => found.push('\n'),
                Some((_, 't')) => found.push('\t'),
                Some((_, 'r')) => found.push('\r'),
                Some((_, c)) => found.push(c),
                None => break,
            },
            c if c == quote => return Ok((found, &text[at + c.len_utf8()..])),
            c => found.push(c),
        }
    }
    Err(JsonPathError::UnterminatedString)
}
