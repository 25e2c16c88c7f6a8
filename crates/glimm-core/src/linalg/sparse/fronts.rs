//! What passes between a supernode and its parent: sums upwards, parts of the inverse downwards.

use std::ops::Range;

use super::symbolic::{NONE, Symbolic};

/// Add the front of supernode `s` to that of its parent: to the columns in the parent's panel and
/// to the parent's own front, which is emptied before its first child.
pub fn extend_add(symbolic: &Symbolic, s: usize, panels: &mut [f64], fronts: &mut [f64]) {
    let node = &symbolic.nodes[s];
    if node.parent == NONE {
        return;
    }
    let parent = &symbolic.nodes[node.parent];
    let (front, onto) = two(fronts, node.front(), parent.front());
    if node.first_child {
        onto.fill(0.0);
    }
    let (n, m) = (node.below, node.shared);
    let relative = &symbolic.relative[node.row_range()];
    let (mut top, mut bottom) = parent.split_mut(panels);
    for b in 0..m {
        let (column, to) = (&front[b * n..][..n], relative[b] as usize);
        add_at(top.col_mut(to), &relative[b..m], &column[b..m]);
        add_at(bottom.col_mut(to), &relative[m..], &column[m..]);
    }
    for b in m..n {
        let (column, to) = (&front[b * n..][..n], relative[b] as usize);
        add_at(&mut onto[to * parent.below..][..parent.below], &relative[b..], &column[b..]);
    }
}

/// Fill the front of supernode `s` (lower triangle) from its parent's panel and front.
pub fn gather(symbolic: &Symbolic, s: usize, panels: &[f64], fronts: &mut [f64]) {
    let node = &symbolic.nodes[s];
    if node.parent == NONE {
        return;
    }
    let parent = &symbolic.nodes[node.parent];
    let (front, from) = two(fronts, node.front(), parent.front());
    let (n, m) = (node.below, node.shared);
    let relative = &symbolic.relative[node.row_range()];
    let (top, bottom) = parent.split(panels);
    for b in 0..m {
        let (column, at) = (&mut front[b * n..][..n], relative[b] as usize);
        take_at(top.col(at), &relative[b..m], &mut column[b..m]);
        take_at(bottom.col(at), &relative[m..], &mut column[m..]);
    }
    for b in m..n {
        let (column, at) = (&mut front[b * n..][..n], relative[b] as usize);
        take_at(&from[at * parent.below..][..parent.below], &relative[b..], &mut column[b..]);
    }
}

/// If ascending indices have no gaps, their first one.
fn run(index: &[u32]) -> Option<usize> {
    let (first, last) = (*index.first()? as usize, *index.last()? as usize);
    (last - first + 1 == index.len()).then_some(first)
}

#[inline]
fn add_at(to: &mut [f64], index: &[u32], from: &[f64]) {
    if let Some(first) = run(index) {
        for (to, from) in to[first..].iter_mut().zip(from) {
            *to += from;
        }
    } else {
        for (&i, from) in index.iter().zip(from) {
            to[i as usize] += from;
        }
    }
}

#[inline]
fn take_at(from: &[f64], index: &[u32], to: &mut [f64]) {
    if let Some(first) = run(index) {
        to.copy_from_slice(&from[first..][..to.len()]);
    } else {
        for (&i, to) in index.iter().zip(to) {
            *to = from[i as usize];
        }
    }
}

/// Two disjoint parts of one slice.
fn two(data: &mut [f64], a: Range<usize>, b: Range<usize>) -> (&mut [f64], &mut [f64]) {
    if a.end <= b.start {
        let (head, tail) = data.split_at_mut(b.start);
        (&mut head[a], &mut tail[..b.len()])
    } else {
        let (head, tail) = data.split_at_mut(a.start);
        (&mut tail[..a.len()], &mut head[b])
    }
}
