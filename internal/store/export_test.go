package store

// Patient makes connections whose server has so long for each answer.
var Patient = patient
