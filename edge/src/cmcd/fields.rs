//! Dictionaries of structured fields (RFC 9651, clause 3.2), as players write them. Pure, strict, bounded. What a text
//! in quotes says is not even kept: nothing here may ever show it.

/// Longest dictionary.
pub const CHARS_MAX: usize = 8192;
/// Most members of a dictionary: the standard knows about fifty keys.
const MEMBERS_MAX: usize = 96;
/// Most items of a list, and most parameters of an item.
const ITEMS_MAX: usize = 32;
/// Most digits of a number (clause 3.3.1), and here of its fraction too.
const DIGITS_MAX: usize = 15;

/// It is no dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no dictionary of structured fields")]
pub struct Malformed;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare<'a> {
    /// A boolean.
    Flag(bool),
    /// An integer or a date; of a decimal the whole part.
    Number(i64),
    /// A token.
    Word(&'a str),
    /// A string or bytes.
    Text,
}

/// A value with the names of its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The value.
    pub value: Bare<'a>,
    /// Its parameters' names.
    pub names: Vec<&'a str>,
}

/// What stands behind a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member<'a> {
    /// One value.
    One(Item<'a>),
    /// A list in brackets.
    List(Vec<Item<'a>>),
}

/// Keys with what stands behind them, in their order; of a key that comes twice the last counts (clause 4.2.2).
pub type Dictionary<'a> = Vec<(&'a str, Member<'a>)>;

/// Reads a dictionary. Capital letters in keys are taken too: version 1 has them in names of one's own.
///
/// # Errors
/// It is none, or beyond the bounds.
pub fn dictionary(text: &str) -> Result<Dictionary<'_>, Malformed> {
    if text.len() > CHARS_MAX || !text.is_ascii() {
        return Err(Malformed);
    }
    let mut reader = Reader { rest: text.trim_matches(' ') };
    let mut members = Vec::new();
    if reader.rest.is_empty() {
        return Ok(members);
    }
    loop {
        let key = reader.key()?;
        let member = if reader.eat('=') {
            reader.member()?
        } else {
            Member::One(Item { value: Bare::Flag(true), names: reader.parameters()? })
        };
        if members.len() >= MEMBERS_MAX {
            return Err(Malformed);
        }
        members.push((key, member));
        reader.skip(&[' ', '\t']);
        if reader.rest.is_empty() {
            return Ok(members);
        }
        if !reader.eat(',') {
            return Err(Malformed);
        }
        reader.skip(&[' ', '\t']);
    }
}

/// What is yet to be read: ASCII.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn eat(&mut self, letter: char) -> bool {
        let rest = self.rest.strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip(&mut self, letters: &[char]) {
        self.rest = self.rest.trim_start_matches(letters);
    }

    fn take(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|byte| !belongs(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn key(&mut self) -> Result<&'a str, Malformed> {
        let key = self.take(|byte| byte.is_ascii_alphanumeric() || b"_-.*".contains(&byte));
        let begins = |byte: u8| byte.is_ascii_alphabetic() || byte == b'*';
        key.bytes().next().is_some_and(begins).then_some(key).ok_or(Malformed)
    }

    fn member(&mut self) -> Result<Member<'a>, Malformed> {
        if !self.eat('(') {
            return self.item().map(Member::One);
        }
        let mut items = Vec::new();
        loop {
            self.skip(&[' ']);
            if self.eat(')') {
                self.parameters()?;
                return Ok(Member::List(items));
            }
            if items.len() >= ITEMS_MAX {
                return Err(Malformed);
            }
            items.push(self.item()?);
            if !self.rest.starts_with([' ', ')']) {
                return Err(Malformed);
            }
        }
    }

    fn item(&mut self) -> Result<Item<'a>, Malformed> {
        Ok(Item { value: self.bare()?, names: self.parameters()? })
    }

    fn parameters(&mut self) -> Result<Vec<&'a str>, Malformed> {
        let mut names = Vec::new();
        while self.eat(';') {
            self.skip(&[' ']);
            if names.len() >= ITEMS_MAX {
                return Err(Malformed);
            }
            names.push(self.key()?);
            if self.eat('=') {
                self.bare()?;
            }
        }
        Ok(names)
    }

    fn bare(&mut self) -> Result<Bare<'a>, Malformed> {
        match self.rest.bytes().next().ok_or(Malformed)? {
            b'?' => self.flag(),
            b'"' => self.string(),
            b':' => self.bytes(),
            b'%' => self.display_string(),
            b'@' => {
                self.eat('@');
                self.number()
            }
            b'-' | b'0'..=b'9' => self.number(),
            byte if byte.is_ascii_alphabetic() || byte == b'*' => {
                let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
                Ok(Bare::Word(self.take(letter)))
            }
            _ => Err(Malformed),
        }
    }

    fn flag(&mut self) -> Result<Bare<'a>, Malformed> {
        self.eat('?');
        if self.eat('1') {
            return Ok(Bare::Flag(true));
        }
        if self.eat('0') { Ok(Bare::Flag(false)) } else { Err(Malformed) }
    }

    fn number(&mut self) -> Result<Bare<'a>, Malformed> {
        let sign = if self.eat('-') { -1 } else { 1 };
        let whole = self.digits()?;
        if self.eat('.') {
            self.digits()?;
        }
        whole.parse::<i64>().map(|whole| Bare::Number(sign * whole)).map_err(|_| Malformed)
    }

    fn digits(&mut self) -> Result<&'a str, Malformed> {
        let digits = self.take(|byte| byte.is_ascii_digit());
        if (1..=DIGITS_MAX).contains(&digits.len()) { Ok(digits) } else { Err(Malformed) }
    }

    fn string(&mut self) -> Result<Bare<'a>, Malformed> {
        self.eat('"');
        loop {
            self.take(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\');
            if self.eat('"') {
                return Ok(Bare::Text);
            }
            if !(self.eat('\\') && (self.eat('"') || self.eat('\\'))) {
                return Err(Malformed);
            }
        }
    }

    fn bytes(&mut self) -> Result<Bare<'a>, Malformed> {
        self.eat(':');
        self.take(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        if self.eat(':') { Ok(Bare::Text) } else { Err(Malformed) }
    }

    fn display_string(&mut self) -> Result<Bare<'a>, Malformed> {
        self.eat('%');
        if !self.eat('"') {
            return Err(Malformed);
        }
        self.take(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"');
        if self.eat('"') { Ok(Bare::Text) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(value: Bare<'static>) -> Member<'static> {
        Member::One(Item { value, names: Vec::new() })
    }

    #[test]
    fn dictionaries_are_read_as_the_standard_says() {
        for (text, expected) in [
            ("", vec![]),
            ("  ", vec![]),
            ("bs", vec![("bs", one(Bare::Flag(true)))]),
            ("a=?0,b=?1", vec![("a", one(Bare::Flag(false))), ("b", one(Bare::Flag(true)))]),
            ("br=3200 ,\tot=v", vec![("br", one(Bare::Number(3200))), ("ot", one(Bare::Word("v")))]),
            ("pr=1.08,n=-5", vec![("pr", one(Bare::Number(1))), ("n", one(Bare::Number(-5)))]),
            ("ts=@1659578734", vec![("ts", one(Bare::Number(1_659_578_734)))]),
            (r#"cid="a\"b\\c""#, vec![("cid", one(Bare::Text))]),
            ("x=:YWJj:", vec![("x", one(Bare::Text))]),
            (r#"x=%"f%c3%bc""#, vec![("x", one(Bare::Text))]),
            ("com.example-myKey=1", vec![("com.example-myKey", one(Bare::Number(1)))]),
            ("bl=()", vec![("bl", Member::List(vec![]))]),
            (
                "br=( 5000;v 128;a );q",
                vec![(
                    "br",
                    Member::List(vec![
                        Item { value: Bare::Number(5000), names: vec!["v"] },
                        Item { value: Bare::Number(128), names: vec!["a"] },
                    ]),
                )],
            ),
            (
                r#"nor=("a";r="0-9" "b"),su"#,
                vec![
                    (
                        "nor",
                        Member::List(vec![
                            Item { value: Bare::Text, names: vec!["r"] },
                            Item { value: Bare::Text, names: vec![] },
                        ]),
                    ),
                    ("su", one(Bare::Flag(true))),
                ],
            ),
        ] {
            assert_eq!(dictionary(text).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_dictionary_is_none_at_all() {
        let long = format!("a={}", "1".repeat(16));
        let many = vec!["a"; MEMBERS_MAX + 1].join(",");
        let list = format!("a=({})", "1 ".repeat(ITEMS_MAX + 1));
        for text in [
            "a,",
            ",a",
            "a,,b",
            "a b",
            "a=",
            "=1",
            "1a",
            "a=\"",
            "a=\"\\n\"",
            "a=\"\n\"",
            "a=(1",
            "a=(1,2)",
            "a=(1\t2)",
            "a=1.",
            "a=.5",
            "a=--1",
            "a=?2",
            "a=:a",
            "a=%x",
            "a=é",
            "a;=1",
            "a=1;",
            "{}",
            &long,
            &many,
            &list,
        ] {
            assert_eq!(dictionary(text), Err(Malformed), "{text}");
        }
        assert_eq!(dictionary(&"a".repeat(CHARS_MAX + 1)), Err(Malformed));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,200}") {
            let _ = dictionary(&text);
        }

        #[test]
        fn nothing_panics_that_looks_like_one(text in "[a-z=,;()\"?:@%. 0-9\\\\-]{0,80}") {
            let _ = dictionary(&text);
        }
    }
}
