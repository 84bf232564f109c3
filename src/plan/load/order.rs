//! The order in which steps run: file order, moved only where `needs` asks for it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A stable topological order: of the steps that are free, the first in the file comes first.
///
/// `needs[i]` names the steps that must be done before step `i`. Gives the steps in running order, or one
/// cycle, in which every step needs the next and the last needs the first.
pub fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (step, before) in needs.iter().enumerate() {
        for b in before {
            needed_by[*b].push(step);
        }
    }
    let mut free: BinaryHeap<Reverse<usize>> = (0..needs.len()).filter(|i| open[*i] == 0).map(Reverse).collect();
    let mut out = Vec::with_capacity(needs.len());
    while let Some(Reverse(step)) = free.pop() {
        out.push(step);
        for later in &needed_by[step] {
            open[*later] -= 1;
            if open[*later] == 0 {
                free.push(Reverse(*later));
            }
        }
    }
    if out.len() == needs.len() { Ok(out) } else { Err(cycle(needs, &open)) }
}

/// A cycle among the steps that are still open. Each of them needs another open one, so that walking along
/// must come back to a step already seen.
fn cycle(needs: &[Vec<usize>], open: &[usize]) -> Vec<usize> {
    let mut path: Vec<usize> = Vec::new();
    let mut place: Vec<Option<usize>> = vec![None; needs.len()];
    let mut next = open.iter().position(|n| *n > 0);
    while let Some(step) = next {
        if let Some(start) = place[step] {
            return path.split_off(start);
        }
        place[step] = Some(path.len());
        path.push(step);
        next = needs[step].iter().copied().find(|n| open[*n] > 0);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn file_order_wins_where_it_is_free() {
        assert_eq!(order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[vec![2], vec![], vec![]]), Ok(vec![1, 2, 0]));
        assert_eq!(order(&[vec![], vec![3], vec![], vec![]]), Ok(vec![0, 2, 3, 1]));
    }

    #[test]
    fn a_cycle_is_named() {
        assert_eq!(order(&[vec![0]]), Err(vec![0]));
        assert_eq!(order(&[vec![], vec![0, 3], vec![1], vec![2]]), Err(vec![1, 3, 2]));
    }

    proptest! {
        #[test]
        fn everything_needed_comes_before(edges in proptest::collection::vec((0usize..40, 0usize..40), 0..80)) {
            let mut needs = vec![Vec::new(); 40];
            for (step, before) in edges {
                needs[step].push(before);
            }
            match order(&needs) {
                Ok(out) => {
                    let at = |s: usize| out.iter().position(|o| *o == s).unwrap();
                    for (step, before) in needs.iter().enumerate() {
                        prop_assert!(before.iter().all(|b| at(*b) < at(step)));
                    }
                }
                Err(cycle) => {
                    prop_assert!(!cycle.is_empty());
                    for (i, step) in cycle.iter().enumerate() {
                        prop_assert!(needs[*step].contains(&cycle[(i + 1) % cycle.len()]));
                    }
                }
            }
        }
    }
}
