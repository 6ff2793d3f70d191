"""Pure decisions at run time, asked by workers and simulator alike."""
