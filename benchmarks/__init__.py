"""What needs a checkout and more than the package: comparisons with frozen cases (`frozen`), with other engines
(`against`) and with trained weights (`trained`), predictions (`prediction`) and training (`recipes`)."""
