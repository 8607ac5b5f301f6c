use super::*;

#[test]
fn sequence_numbers_rise_and_fit() {
    assert_eq!((sequence(1, 2), sequence(2, 2)), (2, 4));
    assert!(sequence(u64::MAX, 3) <= u32::MAX >> 1);
}
