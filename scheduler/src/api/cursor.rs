//! Pages of a list. A cursor says after which item the next page starts, by that item's sort key
//! and not by a count: what is added or removed meanwhile neither repeats nor hides an item.

use framemill_schemas::api::Page;
use serde::{Serialize, de::DeserializeOwned};

use super::problem::{ApiError, Kind};

/// Most items of a page.
pub const LIMIT_MAX: usize = 200;
/// Items of a page where the client does not say.
const LIMIT_DEFAULT: usize = 50;
/// Longest cursor this server gives out.
const CURSOR_CHARS_MAX: usize = 1024;

/// The page of `items` (in order of `key`) that follows `cursor`.
///
/// `after` says whether a key comes behind the cursor's.
pub fn page<T, K, V>(
    items: impl Iterator<Item = T>,
    limit: Option<usize>,
    cursor: Option<&str>,
    key: impl Fn(&T) -> K,
    after: impl Fn(&K, &K) -> bool,
    view: impl Fn(T) -> V,
) -> Result<Page<V>, ApiError>
where
    K: Serialize + DeserializeOwned,
{
    let limit = match limit {
        None => LIMIT_DEFAULT,
        Some(limit @ 1..=LIMIT_MAX) => limit,
        Some(limit) => {
            let detail = format!("limit is {limit}; use 1 to {LIMIT_MAX}");
            return Err(ApiError::new(Kind::InvalidQuery, detail));
        }
    };
    let start: Option<K> = cursor.map(read).transpose()?;
    let mut rest = items.filter(|item| start.as_ref().is_none_or(|start| after(&key(item), start)));
    let mut page = Vec::new();
    let mut last = None;
    for item in rest.by_ref().take(limit) {
        last = Some(key(&item));
        page.push(view(item));
    }
    let next = if rest.next().is_some() { last.as_ref().map(write) } else { None };
    Ok(Page { items: page, next })
}

/// A sort key as clients carry it: hexadecimal, so that it needs no escaping in an address and
/// invites nobody to build one.
fn write<K: Serialize>(key: &K) -> String {
    let json = serde_json::to_vec(key).expect("sort keys are plain data");
    json.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The sort key in a cursor.
pub fn read<K: DeserializeOwned>(cursor: &str) -> Result<K, ApiError> {
    let refuse = || ApiError::new(Kind::InvalidQuery, "this server gave out no such cursor; start again without one");
    if cursor.len() > CURSOR_CHARS_MAX || !cursor.len().is_multiple_of(2) || !cursor.is_ascii() {
        return Err(refuse());
    }
    let bytes: Option<Vec<u8>> = (0..cursor.len())
        .step_by(2)
        .map(|at| cursor.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(items: &[u32], limit: Option<usize>, cursor: Option<&str>) -> Result<Page<u32>, ApiError> {
        page(items.iter().copied(), limit, cursor, |n| *n, |key, start| key > start, |n| n)
    }

    #[test]
    fn pages_cover_a_list_once_even_when_it_changes() {
        let first = numbers(&[1, 2, 3, 4, 5], Some(2), None).unwrap();
        assert_eq!(first.items, [1, 2]);
        // The item the cursor names is gone, and one came before it.
        let second = numbers(&[0, 1, 3, 4, 5], Some(2), first.next.as_deref()).unwrap();
        assert_eq!(second.items, [3, 4]);
        let third = numbers(&[3, 4, 5], Some(2), second.next.as_deref()).unwrap();
        assert_eq!((third.items, third.next), (vec![5], None));
    }

    #[test]
    fn an_exact_page_has_no_next() {
        assert_eq!(numbers(&[1, 2], Some(2), None).unwrap().next, None);
        assert_eq!(numbers(&[], None, None).unwrap(), Page { items: vec![], next: None });
    }

    #[test]
    fn what_was_not_given_out_is_refused() {
        let long = "00".repeat(CURSOR_CHARS_MAX);
        for cursor in ["x", "zz", "7b", "ø0", "+1", long.as_str()] {
            assert_eq!(numbers(&[1], None, Some(cursor)).unwrap_err().kind(), Kind::InvalidQuery, "{cursor}");
        }
        for limit in [0, 201] {
            assert!(numbers(&[1], Some(limit), None).is_err());
        }
    }
}
