"""Plots of the tables that ask for one, as SVG. Needs Debian's python3-matplotlib."""
import os

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "synod"  # the same figures make the same file

from matplotlib import pyplot

COLOURS = ["#1b6ca8", "#c0c4c9", "#8d99a6", "#5d6d7e", "#34495e", "#d9a441", "#b08968"]


def bars(table, path):
    plot = table["plot"]
    labels = list(dict.fromkeys(row[plot["label"]] for row in table["rows"]))
    groups = list(dict.fromkeys(row[plot["group"]] for row in table["rows"]))
    height = 0.8 / len(groups)
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.28 * len(labels) * len(groups)))
    for number, group in enumerate(groups):
        found = {row[plot["label"]]: row[plot["bar"]]
                 for row in table["rows"] if row[plot["group"]] == group}
        places = [i + number * height for i, label in enumerate(labels) if label in found]
        values = [found[label] for label in labels if label in found]
        drawn = axes.barh(places, values, height, label=group,
                          color=COLOURS[number % len(COLOURS)])
        axes.bar_label(drawn, fmt="%d", fontsize=7, padding=2)
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(labels))], labels)
    axes.invert_yaxis()
    if plot["log"]:
        axes.set_xscale("log")
    axes.set_xlabel(plot["axis"])
    axes.set_title(table["title"], fontsize=9)
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def draw(data, folder):
    os.makedirs(folder, exist_ok=True)
    drawn = []
    for table in data["tables"]:
        if table["plot"] and table["rows"]:
            path = os.path.join(folder, table["name"] + ".svg")
            bars(table, path)
            drawn.append(path)
    return drawn
