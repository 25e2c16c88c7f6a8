//! Rows as what the likelihood sees of them besides their group: hashed, compared bit by bit, ordered.

use std::cmp::Ordering;

use crate::design::{Column, Data};

/// Odd constants with irregular bits, for mixing (the golden ratio and another).
const START: u64 = 0x9E37_79B9_7F4A_7C15;
const TIMES: u64 = 0xD6E8_FEB8_6659_FD93;

/// The columns in which rows must agree before they can merge.
pub struct Content<'a> {
    values: Vec<&'a [f64]>,
    codes: Vec<&'a [u32]>,
}

/// One pattern of bits for each number: zeros have one sign.
#[inline(always)]
pub fn bits(value: f64) -> u64 {
    (value + 0.0).to_bits()
}

/// A hash of `hash` and one more word.
#[inline(always)]
pub fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(TIMES);
    (product as u64 ^ (product >> 64) as u64).wrapping_add(START)
}

impl<'a> Content<'a> {
    /// Model matrices, offsets and the codes of further grouping factors; for families with more than
    /// sums to remember, the responses too.
    pub fn new(data: &'a Data) -> Content<'a> {
        let of_terms = data.terms.iter().flat_map(|t| t.memberships().flat_map(|m| m.1));
        let columns = data.predictors.iter().flat_map(|p| &p.columns).chain(of_terms);
        let mut values: Vec<&[f64]> = columns.filter_map(values_of).collect();
        values.extend(data.predictors.iter().filter_map(|p| p.offset.as_deref()));
        if !data.family.exponential() {
            values.push(&data.y);
            values.extend(data.size.as_deref());
        }
        let all = data.terms.iter().flat_map(|t| t.memberships().map(|m| m.0));
        Content { values, codes: all.skip(1).filter(|codes| *codes != data.terms[0].codes.as_slice()).collect() }
    }

    pub fn hash(&self, row: usize) -> u64 {
        let hash = self.values.iter().fold(START, |h, v| mix(h, bits(v[row])));
        self.codes.iter().fold(hash, |h, c| mix(h, u64::from(c[row])))
    }

    pub fn equal(&self, a: usize, b: usize) -> bool {
        self.values.iter().all(|v| bits(v[a]) == bits(v[b])) && self.codes.iter().all(|c| c[a] == c[b])
    }

    /// Some order that depends on the contents alone.
    pub fn compare(&self, a: usize, b: usize) -> Ordering {
        let values = self.values.iter().map(|v| bits(v[a]).cmp(&bits(v[b])));
        values.chain(self.codes.iter().map(|c| c[a].cmp(&c[b]))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

fn values_of(column: &Column) -> Option<&[f64]> {
    match column {
        Column::One => None,
        Column::Values(v) => Some(v),
    }
}

/// A set of numbered things: finds the number of an equal one, or takes in a new one. Room for twice as
/// many as will come keeps probes short.
pub struct Table {
    slots: Vec<u32>,
    mask: usize,
}

const EMPTY: u32 = u32::MAX;

impl Table {
    pub fn new() -> Table {
        Table { slots: Vec::new(), mask: 0 }
    }

    /// Empties the table and makes room for `count` things.
    pub fn clear(&mut self, count: usize) {
        let room = (2 * count).next_power_of_two();
        if self.slots.len() < room {
            self.slots.resize(room, EMPTY);
        }
        self.slots[..room].fill(EMPTY);
        self.mask = room - 1;
    }

    /// The number of the thing with this hash for which `equal` holds, else `new`, which it becomes.
    pub fn find(&mut self, hash: u64, new: usize, equal: impl Fn(usize) -> bool) -> usize {
        let mut at = hash as usize & self.mask;
        loop {
            match self.slots[at] {
                EMPTY => {
                    self.slots[at] = new as u32;
                    return new;
                }
                known if equal(known as usize) => return known as usize,
                _ => at = (at + 1) & self.mask,
            }
        }
    }
}
