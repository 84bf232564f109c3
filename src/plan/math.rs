//! Metric-math expressions, as far as this program has to understand them: which names are in them. What they mean is
//! CloudWatch's to say.

use super::Metric;

/// A metric-math expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Math {
    /// CloudWatch's metric math, such as `errors / requests * 100`.
    pub expression: String,
    /// The metrics that it names, in the order of the file.
    pub inputs: Vec<(String, Metric)>,
}

/// A stretch of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The name of an input; names begin with a small letter.
    Name(&'a str),
    /// The name of a function, or a word such as `AND`.
    Function(&'a str),
    /// Numbers, signs, spaces and texts in quotes.
    Other(&'a str),
}

impl Math {
    /// The expression with each input called by another name.
    #[must_use]
    pub fn renamed(&self, name: impl Fn(&str) -> String) -> String {
        let piece = |piece| match piece {
            Piece::Name(input) => name(input),
            Piece::Function(text) | Piece::Other(text) => text.to_owned(),
        };
        pieces(&self.expression).into_iter().map(piece).collect()
    }
}

/// True for what CloudWatch takes for the name of an input: a small letter, then letters, digits and `_`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    word && text.len() <= 100 && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
}

/// An expression, taken apart. Put together again the pieces are the expression.
#[must_use]
pub fn pieces(expression: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        // A number keeps the letters that are in it, as in `1e6`, and a text everything up to its other quote.
        let length = match first {
            '"' | '\'' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            _ if word(first) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            _ => rest.find(|c: char| word(c) || c == '"' || c == '\'').unwrap_or(rest.len()),
        };
        let (piece, others) = rest.split_at(length);
        rest = others;
        out.push(match first {
            _ if is_name(piece) => Piece::Name(piece),
            first if first.is_alphabetic() || first == '_' => Piece::Function(piece),
            _ => Piece::Other(piece),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_inputs_are_renamed() {
        let expression = r#"IF(errors_5xx > 1e3, FILL(requests,"requests"), 'errors') + REPEAT"#;
        let math = Math { expression: expression.to_owned(), inputs: Vec::new() };
        assert_eq!(math.renamed(str::to_owned), expression);
        let wanted = r#"IF(m3_errors_5xx > 1e3, FILL(m3_requests,"requests"), 'errors') + REPEAT"#;
        assert_eq!(math.renamed(|name| format!("m3_{name}")), wanted);
        assert_eq!(Math { expression: "é 'a".to_owned(), inputs: Vec::new() }.renamed(|_| String::new()), "é 'a");
    }
}
