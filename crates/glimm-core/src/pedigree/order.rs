//! Parents before offspring, in an order as near to the given one as that allows.

use super::UNKNOWN;

/// An order of individuals, or the loop that forbids one.
pub type Generations = Result<Vec<u32>, Vec<u32>>;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Unseen,
    Open,
    Done,
}

/// Individuals with parents before their offspring: those given in such an order keep it. The error is a loop, each
/// the parent of the next, the last of the first.
///
/// By depth first search with a stack of its own, since a line of descent may be long.
pub fn sorted(parents: &[[u32; 2]]) -> Generations {
    let mut state = vec![State::Unseen; parents.len()];
    let mut found = Vec::with_capacity(parents.len());
    let mut stack: Vec<u32> = Vec::new();
    for start in 0..parents.len() as u32 {
        stack.push(start);
        while let Some(&i) = stack.last() {
            let at = i as usize;
            if state[at] == State::Done {
                stack.pop();
                continue;
            }
            state[at] = State::Open;
            let waiting = parents[at].iter().rev().filter(|&&p| p != UNKNOWN && state[p as usize] != State::Done);
            let before = stack.len();
            let waiting: Vec<u32> = waiting.copied().collect();
            if let Some(&back) = waiting.iter().find(|&&p| state[p as usize] == State::Open) {
                return Err(circle(parents, &state, i, back));
            }
            stack.extend(waiting);
            if stack.len() == before {
                state[at] = State::Done;
                found.push(i);
                stack.pop();
            }
        }
    }
    Ok(found)
}

/// The line of descent from `first` to `last`, who is a parent of it: along open individuals.
fn circle(parents: &[[u32; 2]], state: &[State], first: u32, last: u32) -> Vec<u32> {
    let (mut from, mut queue) = (vec![UNKNOWN; parents.len()], vec![first]);
    let mut child = vec![Vec::new(); parents.len()];
    for (i, both) in parents.iter().enumerate() {
        for &p in both.iter().filter(|&&p| p != UNKNOWN) {
            child[p as usize].push(i as u32);
        }
    }
    let mut at = 0;
    while at < queue.len() && from[last as usize] == UNKNOWN && first != last {
        let here = queue[at];
        at += 1;
        for &c in &child[here as usize] {
            if state[c as usize] == State::Open && from[c as usize] == UNKNOWN && c != first {
                from[c as usize] = here;
                queue.push(c);
            }
        }
    }
    let mut found = vec![last];
    while found[found.len() - 1] != first && from[found[found.len() - 1] as usize] != UNKNOWN {
        found.push(from[found[found.len() - 1] as usize]);
    }
    found.reverse();
    found
}

/// The longest line of known ancestors of each; parents come first.
pub fn generations(parents: &[[u32; 2]]) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::with_capacity(parents.len());
    for both in parents {
        let above = both.iter().filter(|&&p| p != UNKNOWN).map(|&p| found[p as usize] + 1).max();
        found.push(above.unwrap_or(0));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: u32 = UNKNOWN;

    #[test]
    fn an_order_that_holds_is_kept() {
        let parents = [[N, N], [N, 0], [0, 1], [2, 1]];
        assert_eq!(sorted(&parents), Ok(vec![0, 1, 2, 3]));
    }

    #[test]
    fn parents_are_brought_forward() {
        let parents = [[1, 2], [3, N], [N, 3], [N, N]];
        assert_eq!(sorted(&parents), Ok(vec![3, 1, 2, 0]));
        assert_eq!(generations(&[[N, N], [0, N], [N, 0], [1, 2]]), [0, 1, 1, 2]);
    }

    #[test]
    fn loops_are_told_each_the_parent_of_the_next() {
        let parents = [[N, N], [0, 3], [1, N], [2, 0]];
        let found = sorted(&parents).expect_err("a loop");
        assert_eq!(found.len(), 3);
        for (k, &i) in found.iter().enumerate() {
            let next = found[(k + 1) % found.len()];
            assert!(parents[next as usize].contains(&i), "{found:?}");
        }
        assert_eq!(sorted(&[[0, N]]), Err(vec![0]));
    }

    #[test]
    fn a_long_line_needs_no_deep_stack() {
        let n = 300_000u32;
        let parents: Vec<[u32; 2]> = (0..n).map(|i| [if i + 1 < n { i + 1 } else { N }, N]).collect();
        assert_eq!(sorted(&parents).map(|o| o[0]), Ok(n - 1));
    }
}
