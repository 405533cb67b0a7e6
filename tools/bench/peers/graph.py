"""The same graph as canopy-bench's: each author has so many followers, each user follows so many authors, at random."""
import random


def uniform(users, followers, follows, seed=1):
    """Returns for each author the list of the users that follow it."""
    chance = random.Random(seed)
    order = list(range(users))
    authors = []
    for _ in range(follows):
        chance.shuffle(order)
        authors += [order[at:at + followers] for at in range(0, users, followers)]
    return authors
