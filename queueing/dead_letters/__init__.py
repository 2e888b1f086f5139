"""Tasks that will not run again by themselves: letters, what they have in common, and the jobs that send them back."""
