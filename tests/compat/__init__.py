"""What existing plugins rely on, rule by rule."""
