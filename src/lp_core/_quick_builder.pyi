# Has nothing of its own: importing it puts quick ways in front of the methods of LineBuilder.
