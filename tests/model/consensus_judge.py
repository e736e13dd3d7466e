"""Dawid and Skene with the shrunken rows of model.consensus_skill in plain loops over everything: slow, and the judge."""

import math

STRENGTH_PRIORS = (4.0, 50.0, 20.0)  # of an annotator, of a class, of errors


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def classes_of(answers: list[tuple[int, int, int]], items: int, people: int, classes: int, steps: int, s: float):
    """Posterior after so many steps, for (item, annotator, label) triples where every item has an answer."""
    votes = [[0.0] * classes for _ in range(items)]
    for i, _, l in answers:
        votes[i][l] += 1
    q = [[v / sum(row) for v in row] for row in votes]
    share = [0.5] * people
    for _ in range(steps):
        pi, share = rows(answers, q, people, classes, share, s)
        prior = [1.0 + sum(q[i][k] for i in range(items)) for k in range(classes)]
        q = []
        for i in range(items):
            p = [math.log(prior[k] / sum(prior)) for k in range(classes)]
            for i2, j, l in answers:
                if i2 == i:
                    for k in range(classes):
                        p[k] += math.log(pi[j][k][l])
            top = max(p)
            p = [math.exp(v - top) for v in p]
            q.append([v / sum(p) for v in p])
    return q


def rows(answers, q, people, classes, share, s):
    """P(l | j, k) and the new shares of errors that are the team's, from expected counts."""
    span = range(classes)
    n = [[[0.0] * classes for _ in span] for _ in range(people)]
    for i, j, l in answers:
        for k in span:
            n[j][k][l] += q[i][k]
    of_j, of_k, of_e = STRENGTH_PRIORS
    of_e += classes / 10
    right_j = [sum(n[j][k][k] for k in span) for j in range(people)]
    all_j = [sum(sum(row) for row in n[j]) for j in range(people)]
    team = (sum(right_j) + 1) / (sum(all_j) + 1 + 1 / classes)
    a = [(right_j[j] + of_j * team) / (all_j[j] + of_j) for j in range(people)]
    d = []
    for k in span:
        right, total = sum(n[j][k][k] for j in range(people)), sum(sum(n[j][k]) for j in range(people))
        d.append(logit((right + of_k * team) / (total + of_k)) - logit(team))
    wrong = [[[0.0 if k == l else n[j][k][l] for l in span] for k in span] for j in range(people)]
    pi = [[[0.0] * classes for _ in span] for _ in range(people)]
    new_share = []
    for j in range(people):
        own = [sum(wrong[j][k][l] for k in span) for l in span]
        e = [(v + of_e / classes) / (sum(own) + of_e) for v in own]
        by_team = 0.0
        for k in span:
            of_team = [sum(wrong[m][k][l] for m in range(people)) for l in span]
            b = 1 / (1 + math.exp(-(logit(a[j]) + d[k])))
            for l in span:
                c = (of_team[l] + of_e / (classes - 1)) / (sum(of_team) + of_e)
                off = share[j] * c + (1 - share[j]) * e[l] / (1 - e[k])
                base = b if k == l else (1 - b) * off
                pi[j][k][l] = (n[j][k][l] + s * base) / (sum(n[j][k]) + s)
                by_team += wrong[j][k][l] * share[j] * c / off
        new_share.append((by_team + 2) / (sum(own) + 4))
    return pi, new_share
