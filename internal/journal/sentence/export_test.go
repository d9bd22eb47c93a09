package sentence

// Sentences has the sentence about each action.
var Sentences = sentences
